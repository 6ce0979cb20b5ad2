// A form that is sent once at a time, whatever is pressed meanwhile, and that keeps what was typed.

export function submitted(form, send) {
  const button = form.querySelector(".act button");
  let underWay = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (underWay) return;
    underWay = true;
    // A disabled button would lose the focus.
    button.setAttribute("aria-disabled", "true");
    try {
      await send();
    } finally {
      underWay = false;
      button.removeAttribute("aria-disabled");
    }
  });
}

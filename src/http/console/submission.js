// A form with one submission at a time, which keeps its input.

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

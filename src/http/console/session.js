// The key of the signed-in user, kept as long as the tab is open.

const NAME = "likeness-key";

export const session = new (class extends EventTarget {
  /** Whether the key allows enrolling, listing and erasing; a terminal's key does not. */
  mayEnroll = false;

  /** Takes the key from an address such as `/#key=KEY`, and removes it from the address and the history. */
  takeFromAddress() {
    const [, key] = location.hash.match(/^#key=(.+)$/) ?? [];
    if (!key) return;
    this.keep(decodeURIComponent(key));
    history.replaceState(null, "", location.pathname + location.search);
  }

  get key() {
    return sessionStorage.getItem(NAME);
  }

  keep(key) {
    sessionStorage.setItem(NAME, key);
  }

  forget() {
    sessionStorage.removeItem(NAME);
    this.mayEnroll = false;
  }

  /** Ends the session; `why` is the reason if the service refused the key. */
  end(why = "") {
    this.forget();
    this.dispatchEvent(new CustomEvent("ended", { detail: why }));
  }
})();

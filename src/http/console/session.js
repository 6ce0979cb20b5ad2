// The key that the user signed in with, for as long as the tab is open.

const NAME = "likeness-key";

export const session = new (class extends EventTarget {
  /** Whether the caller may enrol, list and erase; a terminal's key may not. */
  mayEnrol = false;

  /** Takes over the key of an address such as `/#key=KEY`, which then stands neither there nor in the history. */
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
    this.mayEnrol = false;
  }

  /** `why` in words where the service refused the key. */
  end(why = "") {
    this.forget();
    this.dispatchEvent(new CustomEvent("ended", { detail: why }));
  }
})();

"""What anybody must be able to read and use of a page, as far as a program can tell: names, headings, contrast, sizes, the focus.

The bounds are those of WCAG 2.2, level AA.
"""

import json

# Faults of what is shown now; of a dialog alone while one is open.
AUDIT = """(() => {
    const faults = [];
    const scope = document.querySelector("dialog[open]") ?? document.body;
    const shown = (selector) => [...scope.querySelectorAll(selector)].filter((one) => one.checkVisibility({ visibilityProperty: true }));
    const named = (one) => `<${one.localName}${one.id && "#" + one.id}> ${one.textContent.trim().slice(0, 40)}`;
    const must = (truth, what, one) => truth || faults.push(one ? `${what}: ${named(one)}` : what);

    must(document.documentElement.lang, "the page has no language");
    must(document.title, "the page has no title");
    must(document.querySelectorAll("main").length === 1, "there is not one main");
    must(scope !== document.body || shown("h1").length <= 1, "there are several h1");
    let level = scope === document.body ? 0 : 1;
    for (const heading of shown("h1, h2, h3, h4")) {
        must(Number(heading.localName[1]) <= level + 1, "a heading skips a level", heading);
        level = Number(heading.localName[1]);
    }
    const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
    for (const id of ids) must(ids.indexOf(id) === ids.lastIndexOf(id), `two have the id ${id}`);
    for (const attribute of ["for", "aria-labelledby", "aria-describedby"]) {
        for (const one of document.querySelectorAll(`[${attribute}]`)) {
            for (const id of one.getAttribute(attribute).split(" ")) must(ids.includes(id), `${attribute} names nobody`, one);
        }
    }
    for (const one of shown("[tabindex]")) must(one.tabIndex <= 0, "tabindex brings the order of the focus about", one);
    for (const field of shown("input")) must([...field.labels].some((label) => label.checkVisibility()), "a field without a visible label", field);
    for (const image of shown("img")) must(image.hasAttribute("alt"), "an image without alt", image);

    // WCAG 2.5.8; a file is chosen by its label.
    for (const one of shown("a[href], button, input:not([type=file]), label.button")) {
        if (one.classList.contains("skip")) continue;
        const { width, height } = one.getBoundingClientRect();
        must(width >= 24 && height >= 24, `only ${Math.round(width)} x ${Math.round(height)}`, one);
    }

    // WCAG 1.4.3 and 1.4.11. Any notation of a colour, drawn, is four numbers.
    const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
    const channels = (colour) => {
        context.clearRect(0, 0, 1, 1);
        context.fillStyle = colour;
        context.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const over = ([r, g, b, a], under) => [r, g, b].map((value, at) => a * value + (1 - a) * under[at]);
    const ground = (one) => {
        if (!one) return channels(getComputedStyle(document.documentElement).colorScheme === "dark" ? "#000" : "#fff");
        return over(channels(getComputedStyle(one).backgroundColor), ground(one.parentElement));
    };
    const opacity = (one) => (one ? Number(getComputedStyle(one).opacity) * opacity(one.parentElement) : 1);
    const luminance = (colour) => {
        const [r, g, b] = colour.slice(0, 3).map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const contrast = (a, b) => {
        const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
        return (light + 0.05) / (dark + 0.05);
    };
    for (const one of shown("*")) {
        const text = [...one.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
        const is_off = one.disabled || one.closest("[aria-disabled]");
        if (!text || is_off || one.matches(".skip, .unseen, noscript")) continue;
        const style = getComputedStyle(one);
        const size = parseFloat(style.fontSize);
        const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
        const [r, g, b, a] = channels(style.color);
        const ratio = contrast(over([r, g, b, a * opacity(one)], ground(one)), ground(one));
        must(ratio >= (large ? 3 : 4.5), `a contrast of ${ratio.toFixed(1)}`, one);
    }
    for (const field of shown("input:not([type=file])")) {
        const ratio = contrast(over(channels(getComputedStyle(field).borderTopColor), ground(field)), ground(field.parentElement));
        must(ratio >= 3, `an edge with a contrast of ${ratio.toFixed(1)}`, field);
    }

    const wide = document.documentElement.scrollWidth;
    must(wide <= innerWidth, `${wide} wide on a screen of ${innerWidth}`);
    return faults;
})()"""

# What the Tab key must come to, in this order.
STOPS = """(() => {
    const scope = document.querySelector("dialog[open]") ?? document;
    const usable = (one) => !one.disabled && one.checkVisibility({ visibilityProperty: true });
    window.stops = [...scope.querySelectorAll("a[href], button, input, [tabindex='0']")].filter(usable);
    return stops.length;
})()"""

# Where the focus is among them, and whether it can be seen there.
STOP = """(() => {
    const one = document.activeElement;
    const seen = [one, one.closest("label")].some((shown) => {
        const { outlineStyle, outlineWidth } = shown ? getComputedStyle(shown) : {};
        return shown && outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
    });
    return { at: stops.indexOf(one), seen, is: `${one.localName} ${one.id} ${one.innerText ?? ""}` };
})()"""

USED = {"button", "link", "textbox", "searchbox", "checkbox", "Date", "image", "dialog"}


def faults(browser):
    """What is wrong with what is shown now."""
    nodes = [n for n in browser.send("Accessibility.getFullAXTree")["nodes"] if not n["ignored"]]
    nameless = [n["role"]["value"] for n in nodes if n["role"]["value"] in USED and not n.get("name", {}).get("value")]
    return browser.value(AUDIT) + [f"a {role} without a name" for role in nameless]


def focus_faults(browser):
    """What is wrong with the way that the Tab key takes from the top of the page."""
    wrong, way = [], []
    count = browser.value(STOPS)
    # A date is three stops or four.
    for _ in range(count + 8):
        browser.press("Tab")
        stop = browser.value(STOP)
        if way and stop["at"] == way[-1]:
            continue
        if stop["at"] < 0 or stop["at"] in way:
            break
        way.append(stop["at"])
        if not stop["seen"]:
            wrong.append(f"the focus can't be seen on {stop['is']}")
    if way != list(range(count)):
        wrong.append(f"the Tab key takes the way {json.dumps(way)} of {count} stops")
    return wrong

// What can be computed in a page: each function returns texts of faults, or figures.
globalThis.checks = (() => {
    const channels = color => {
        const [red, green, blue, alpha = 1] = color.match(/[\d.]+/g).map(Number);
        return [red, green, blue, alpha];
    };
    // WCAG 2.2, relative luminance and contrast ratio.
    const luminance = color => {
        const linear = channels(color).slice(0, 3).map(value => value / 255)
            .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    };
    const ratio = (a, b) => {
        const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
        return (light + 0.05) / (dark + 0.05);
    };
    const isOpaque = color => channels(color)[3] === 1;
    const background = element => {
        for (let at = element; at; at = at.parentElement) {
            const color = getComputedStyle(at).backgroundColor;
            if (isOpaque(color)) return color;
            if (channels(color)[3] !== 0) throw new Error(`a background is translucent: ${color}`);
        }
        throw new Error("the page has no background of its own");
    };
    const isShown = element => element.checkVisibility({contentVisibilityAuto: true, opacityProperty: true, visibilityProperty: true});
    const texts = () => {
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
        while (walker.nextNode()) {
            const element = walker.currentNode.parentElement;
            if (walker.currentNode.data.trim() && !element.closest("script,style,title") && isShown(element)) found.push(walker.currentNode);
        }
        return found;
    };
    const describe = node => `"${(node.data ?? node.textContent).trim().slice(0, 30)}" in ${(node.parentElement ?? node).tagName}`;
    const focusable = () => [...document.querySelectorAll("a[href],input,button,select,textarea,[tabindex]")].filter(isShown);

    return {
        // The smallest contrast of a text, and every text with less than 4.5, or 3 if it is large.
        contrast() {
            const faults = [];
            let least = Infinity;
            for (const text of texts()) {
                const style = getComputedStyle(text.parentElement), size = parseFloat(style.fontSize);
                const isLarge = size >= 24 || size >= 18.66 && style.fontWeight >= 700;
                const value = ratio(style.color, background(text.parentElement));
                least = Math.min(least, value);
                if (value < (isLarge ? 3 : 4.5)) faults.push(`${describe(text)} has contrast ${value.toFixed(2)}`);
            }
            return {faults, least, texts: texts().length};
        },
        // The contrast of colors that no element tells: of links that were visited, on every background, and of icons.
        hiddenContrast() {
            const style = getComputedStyle(document.documentElement), probe = document.createElement("p");
            document.body.append(probe);
            const color = name => {
                probe.style.color = `var(${name})`;
                return getComputedStyle(probe).color;
            };
            const known = names => names.filter(name => style.getPropertyValue(name));
            const values = known(["--text", "--quiet", "--link", "--seen"]).flatMap(text => known(["--back", "--hover"]).map(back => [text, back, ratio(color(text), color(back))]));
            probe.remove();
            return values.filter(([, , value]) => value < 4.5).map(([text, back, value]) => `${text} on ${back}: ${value.toFixed(2)}`);
        },
        structure() {
            const faults = [], count = (selector, expected) => {
                const found = document.querySelectorAll(selector).length;
                if (found !== expected) faults.push(`${found} of ${selector}`);
            };
            count("html[lang=en]", 1), count("title", 1), count("h1", 1), count("main", 1), count('meta[name=viewport]', 1);
            if (!document.title) faults.push("the title is empty");
            if (document.compatMode !== "CSS1Compat") faults.push("it is in quirks mode");
            if (document.characterSet !== "UTF-8") faults.push(`it is in ${document.characterSet}`);
            for (const text of texts()) {
                if (!text.parentElement.closest("main,nav,header,footer")) faults.push(`${describe(text)} is in no landmark`);
            }
            const ids = [...document.querySelectorAll("[id]")].map(element => element.id);
            if (new Set(ids).size !== ids.length) faults.push("an id is there twice");
            for (const input of document.querySelectorAll("input")) {
                if (!input.labels?.length || !input.labels[0].textContent.trim()) faults.push("a field has no label");
            }
            for (const link of document.links) {
                if (!(link.ariaLabel || link.textContent.trim())) faults.push(`a link to ${link.href} has no text`);
            }
            for (const head of document.querySelectorAll("th")) {
                if (head.hasAttribute("aria-sort") && !["ascending", "descending"].includes(head.ariaSort)) faults.push(head.ariaSort);
            }
            return faults;
        },
        // What is wider than the window, and targets that are smaller than 24 by 24 (WCAG 2.5.8; links in a sentence are exempt).
        fit() {
            const faults = [], width = document.documentElement.clientWidth;
            if (document.documentElement.scrollWidth > width) faults.push(`the page is ${document.documentElement.scrollWidth} wide`);
            for (const element of document.querySelectorAll("body *")) {
                const box = element.getBoundingClientRect();
                if (box.right > width + 0.5 || box.left < -0.5) faults.push(`${describe(element)} is at ${box.left} to ${box.right}`);
            }
            for (const element of focusable().filter(element => !element.closest("main > p:not([id])"))) {
                const box = element.getBoundingClientRect();
                if (box.height < 24 || box.width < 24) faults.push(`${describe(element)} is ${box.width} by ${box.height}`);
            }
            return faults;
        },
        focusable: () => focusable().map(element => element.href ?? element.type),
        focused() {
            const element = document.activeElement, style = getComputedStyle(element), box = element.getBoundingClientRect();
            const row = element.closest("tr")?.getBoundingClientRect();
            return {name: element.href ?? element.type, x: box.left, y: row ? row.top : box.top, isInView: box.top > -1 && box.bottom < innerHeight + 1, box: [box.top, box.bottom, innerHeight],
                outline: style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2 ? 0 : ratio(style.outlineColor, background(element.parentElement))};
        },
        entries: () => [...document.querySelectorAll("tbody:not(.u) tr td:first-child")].map(cell => cell.textContent),
        sorted: () => [...document.querySelectorAll("th[aria-sort]")].map(head => `${head.textContent} ${head.ariaSort}`),
        links: () => [...document.querySelectorAll("th a")].map(link => link.getAttribute("href")),
        laidOut: () => [...document.querySelectorAll("tbody tr")].filter(isShown).length,
        // Milliseconds until a change is painted.
        async time(change) {
            const begin = performance.now();
            change();
            await new Promise(painted => requestAnimationFrame(() => setTimeout(painted)));
            return performance.now() - begin;
        },
        fill(text) {
            const input = document.querySelector("input");
            input.value = text;
            input.dispatchEvent(new Event("input"));
        },
    };
})();

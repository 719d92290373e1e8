{
// Rows are in parts of 100: the browser lays out the parts that it shows (content-visibility).
const PART = 100;
const parts = [...document.querySelectorAll("tbody:not(.u)")], heads = [...document.querySelectorAll("th")];
const filter = document.getElementById("filter");
let words = [], known;
const rows = () => known ??= parts.flatMap(part => [...part.rows]).map((row, index) => ({row, isFile: row.className !== "d",
    name: +(row.dataset.n ?? index), size: parseInt(row.cells[1].title || row.cells[1].textContent) || 0, time: row.cells[2].textContent,
    text: row.cells[0].textContent.toLowerCase()}));

const show = () => {
    const shown = rows().filter(({text}) => words.every(word => text.includes(word))).map(({row}) => row);
    parts.forEach((part, index) => {
        const its = shown.slice(PART * index, PART * (index + 1));
        part.className = its.length === PART ? "c" : "";
        part.replaceChildren(...its);
    });
    return shown.length;
};

for (const head of heads) head.firstChild.addEventListener("click", event => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    const chosen = new URLSearchParams(head.firstChild.search), by = chosen.get("sort"), isDown = chosen.get("order") === "desc";
    const sign = isDown ? -1 : 1;
    rows().sort((a, b) => a.isFile - b.isFile || sign * ((a[by] > b[by]) - (a[by] < b[by])) || a.name - b.name);
    show();
    history.replaceState(null, "", head.firstChild.search);
    for (const other of heads) {
        const column = new URLSearchParams(other.firstChild.search).get("sort");
        other.removeAttribute("aria-sort");
        other.firstChild.setAttribute("href", `?sort=${column}&order=${column === "name" ? "asc" : "desc"}`);
    }
    head.setAttribute("aria-sort", isDown ? "descending" : "ascending");
    head.firstChild.setAttribute("href", `?sort=${by}&order=${isDown ? "asc" : "desc"}`);
});

if (filter) {
    const input = filter.querySelector("input"), output = filter.querySelector("output");
    const apply = () => {
        words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
        const count = show();
        output.textContent = words.length ? `${count} of ${rows().length}` : "";
    };
    input.addEventListener("input", apply);
    filter.removeAttribute("hidden");
    if (input.value) apply();
}
}

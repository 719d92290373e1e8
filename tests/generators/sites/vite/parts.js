// Writes the modules and images of a site large enough to show which share of the hashes in their names counts.
import { mkdirSync, writeFileSync } from "node:fs";

mkdirSync("parts", { recursive: true });
for (let number = 0; number < 400; number++) {
  writeFileSync(`parts/part${number}.js`, `import url from "./image${number}.svg";\nexport default [url, "otter ${number}"];\n`);
  // From 4 KiB on, an image is a file of its own.
  const path = Array.from({ length: 1000 }, (_, point) => `L${point} ${(point * number) % 97}`).join("");
  writeFileSync(`parts/image${number}.svg`, `<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0${path}"/></svg>\n`);
}

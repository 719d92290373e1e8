module.exports = {
  title: "Otters",
  url: "https://site.example",
  baseUrl: "/",
  favicon: "img/otter.svg",
  onBrokenLinks: "throw",
  presets: [["classic", { docs: { routeBasePath: "docs" }, blog: false, theme: { customCss: "./src/css/custom.css" } }]],
  themes: [["@easyops-cn/docusaurus-search-local", { hashed: "filename", indexBlog: false }]],
  themeConfig: { navbar: { title: "Otters", items: [{ to: "/docs/", label: "Guide" }] } },
};

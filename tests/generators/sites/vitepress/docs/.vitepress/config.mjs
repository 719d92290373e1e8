import { defineConfig } from "vitepress";

export default defineConfig({
  title: "Otters",
  description: "A site of VitePress, with its own fonts, search and addresses without .html",
  head: [["link", { rel: "icon", href: "/otter.svg" }]],
  cleanUrls: true,
  lastUpdated: false,
  sitemap: { hostname: "https://site.example" },
  themeConfig: {
    search: { provider: "local" },
    nav: [{ text: "Guide", link: "/guide/" }],
    sidebar: [{ text: "Guide", items: [
      { text: "Overview", link: "/guide/" },
      { text: "First steps", link: "/guide/first-steps" },
      { text: "Food", link: "/guide/food" },
    ] }],
  },
});

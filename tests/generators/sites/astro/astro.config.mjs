import sitemap from "@astrojs/sitemap";
import { defineConfig } from "astro/config";

export default defineConfig({
  site: "https://site.example",
  integrations: [sitemap()],
  image: { service: { entrypoint: "astro/assets/services/noop" } },
  build: { inlineStylesheets: "never" },
  prefetch: true,
  vite: { build: { assetsInlineLimit: 0 } },
});

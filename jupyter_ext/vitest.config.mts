import { readFileSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

/** Icons are imported as the text of their SVG file, as JupyterLab's builder does it. */
const svg = {
  name: 'svg-as-text',
  enforce: 'pre' as const,
  load(id: string) {
    return id.endsWith('.svg') ? `export default ${JSON.stringify(readFileSync(id, 'utf8'))}` : null;
  }
};

export default defineConfig({
  plugins: [svg],
  resolve: {
    // The views need its icons only; the whole also brings web components that happy-dom cannot draw.
    alias: { '@jupyterlab/ui-components': '@jupyterlab/ui-components/lib/icon/index.js' }
  },
  test: {
    environment: 'happy-dom',
    include: ['src/**/*.test.{ts,tsx}'],
    // JupyterLab's packages import CSS and SVG, which only the bundler's loader understands.
    server: { deps: { inline: [/@jupyterlab\//, /@jupyter\//] } }
  }
});

// axe in light and in dark, at a phone's and at a desktop's width; and whatever a mail wanted to fetch.
import { createRequire } from 'node:module';

import { offlinePage, withBrowser } from './browser.mjs';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const GRAVE = new Set(['serious', 'critical']);
const VIEWS = [
  { colorScheme: 'light', viewport: { width: 700, height: 1000 } },
  { colorScheme: 'dark', viewport: { width: 375, height: 800 } },
];

export async function accessibility(executablePath, documents) {
  return withBrowser(executablePath, async (browser) => {
    // Each view is a renderer of its own, so both run at once.
    const views = await Promise.all(VIEWS.map((view) => seen(browser, view, documents)));
    return Object.fromEntries(documents.map(({ name }) => [name, views.flatMap((found) => found[name])]));
  });
}

async function seen(browser, view, documents) {
  const found = {};
  const asked = [];
  const { page, close } = await offlinePage(browser, view, asked);
  for (const { name, html } of documents) {
    asked.length = 0;
    await page.setContent(html);
    await page.addScriptTag({ path: AXE });
    const results = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations', 'incomplete'] }));
    found[name] = [...grave(results, view.colorScheme), ...remote(asked)];
  }
  await close();
  return found;
}

// Words in exactly the colour of their ground are "incomplete" to axe, which can't tell them from a trick; nobody can read them.
function grave({ violations, incomplete }, scheme) {
  const invisible = incomplete
    .map((rule) => ({ ...rule, nodes: rule.nodes.filter((node) => node.any.some(({ data }) => data?.messageKey === 'equalRatio')) }))
    .filter(({ nodes }) => nodes.length > 0);
  return [...violations, ...invisible]
    .filter(({ impact }) => GRAVE.has(impact))
    .map(({ id, help, nodes }) => ({
      tool: 'axe',
      code: id,
      found: `${help}: ${nodes.length} place${nodes.length > 1 ? 's' : ''}, the first ${nodes[0].html.replace(/\s+/g, ' ').slice(0, 120)}`,
      where: `in ${scheme}`,
    }));
}

function remote(asked) {
  return [...new Set(asked)].map((address) => ({ tool: 'remote', code: 'remote', found: address, where: '' }));
}

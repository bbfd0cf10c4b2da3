// Pictures of pages. In: {chromium, pages: [{file, html, width, dark}]} on stdin. Each becomes a PNG as high as its page is.
import { readFileSync } from 'node:fs';

import { offlinePage, withBrowser } from './browser.mjs';

const job = JSON.parse(readFileSync(0, 'utf8'));
await withBrowser(job.chromium, async (browser) => {
  const views = new Map(); // a page for each width and scheme: a new one for each picture takes as long as the picture
  for (const { file, html, width, dark } of job.pages) {
    const view = `${width} ${dark}`;
    if (!views.has(view)) {
      const options = { viewport: { width, height: 200 }, colorScheme: dark ? 'dark' : 'light' };
      views.set(view, await offlinePage(browser, options, []));
    }
    const { page } = views.get(view);
    await page.setContent(html);
    await page.screenshot({ path: file, fullPage: true });
  }
});
process.stdout.write(JSON.stringify(job.pages.map(({ file }) => file)));

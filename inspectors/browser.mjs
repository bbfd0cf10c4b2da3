// One Chromium for many pages, without any network: whatever a page asks for is refused and noted.
import { chromium } from 'playwright-core';

const QUIET = ['--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const NOWHERE = '--host-resolver-rules=MAP * ~NOTFOUND';

export async function withBrowser(executablePath, work) {
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', NOWHERE, ...QUIET] });
  try {
    return await work(browser);
  } finally {
    await browser.close();
  }
}

// `asked` collects the addresses that the page wanted to load.
export async function offlinePage(browser, options, asked) {
  const context = await browser.newContext({ offline: true, javaScriptEnabled: true, ...options });
  await context.route('**/*', (route) => {
    asked.push(route.request().url());
    return route.abort();
  });
  return { page: await context.newPage(), close: () => context.close() };
}

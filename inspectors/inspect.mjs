// Looks at many mails at once. In: a job in JSON on stdin. Out: findings by the documents' names in JSON on stdout.
//
// job: {chromium, clients: [glob], documents: [{name, mjml, html}]}; `mjml` is the source with its Jinja hidden, `html` the finished mail.
// answer: {name: [{tool: "mjml" | "caniemail" | "axe" | "remote", code, found, where}]}
import { readFileSync } from 'node:fs';

import { accessibility } from './accessibility.mjs';
import { clientSupport } from './clients.mjs';
import { strictMjml } from './mjml.mjs';

const job = JSON.parse(readFileSync(0, 'utf8'));
const answer = {};
for (const { name, mjml, html } of job.documents) {
  answer[name] = [...(await strictMjml(mjml)), ...clientSupport(html, job.clients)];
}
for (const [name, findings] of Object.entries(await accessibility(job.chromium, job.documents))) {
  answer[name].push(...findings);
}
process.stdout.write(JSON.stringify(answer));

// What the declared mail clients don't support, or only in part, by the data of caniemail.com that the package brings along.
import { caniemail } from 'caniemail';

export function clientSupport(html, clients) {
  const { issues } = caniemail({ clients, html });
  const lacking = new Map(); // feature -> client -> how
  for (const [how, byClient] of [
    ['unsupported', issues.errors],
    ['partial', issues.warnings],
  ]) {
    for (const [client, found] of byClient) {
      for (const { title } of found) {
        if (!lacking.has(title)) lacking.set(title, new Map());
        if (!lacking.get(title).has(client)) lacking.get(title).set(client, how);
      }
    }
  }
  return [...lacking].map(([feature, by]) => ({
    tool: 'caniemail',
    code: feature,
    found: [...by].map(([client, how]) => (how === 'partial' ? `${client} (in part)` : client)).sort().join(', '),
    where: '',
  }));
}

// What MJML's own validator refuses under validationLevel strict: unknown elements and attributes, values of another type, wrong nesting.
import mjml2html from 'mjml';

export async function strictMjml(source) {
  try {
    await mjml2html(source, { validationLevel: 'strict', ignoreIncludes: true, fonts: {} });
    return [];
  } catch (error) {
    if (!error.errors) return [{ tool: 'mjml', code: 'mjml', found: String(error.message).split('\n')[0], where: '' }];
    return error.errors.map(({ tagName, message, line }) => ({
      tool: 'mjml',
      code: tagName,
      found: message,
      where: `in line ${line}`,
    }));
  }
}

// Looks at what Banter's values show in JupyterLab, in a real browser: tables, charts, a player, and a threshold to drag;
// in a trusted notebook and in one that is not, in the light theme and in the dark one, and with a chat that attacks the page.
//
//	node displays.mjs LAB-URL-WITH-TOKEN KERNEL-NAME SCREENSHOT-FOLDER
//
// run.sh starts all that this needs.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { start } from './lab.mjs';

const [address, kernel, shots] = process.argv.slice(2);
const lab = await start({ address, kernel, shots, prefix: 'display', height: 1100 });
const { page, step, check, command, output, shows, inert, sees } = lab;
const run = lab.done;
const shipped = path.join(import.meta.dirname, '../../../testdata/streams/s1');

const value = async i => {
	const text = await output(i).locator('.jp-OutputArea-output').last().innerText();
	check(/^[\d.]+\s*$/.test(text), `cell ${i} shows ${text}`);
	return parseFloat(text);
};
// A stream whose chat attacks the page, under a name that does the same.
const evil = [
	'<script>banterHostile(1)</script>', '<img src=x onerror=banterHostile(2)>', '"]</script><script>banterHostile(3)</script>', '</svg><svg onload=banterHostile(4)>',
	'\u202eright to left', '<iframe srcdoc="<script>parent.banterHostile(5)</script>">', 'javascript:banterHostile(6)', '</textarea></style></title><img src=x onerror=banterHostile(7)>',
	'<!--', '\u0000\u001b[31m', '${banterHostile(8)}`', '\ud83d', 'x'.repeat(1_000_000),
];
const evilName = 's1 <img src=x onerror=banterHostile(9)>';
const sources = [
	'streams := Load("hostile")\nstreams',
	'words := Words(streams, "hostile")\nwords',
	'pairs := Align(words)\npairs',
	'Histogram(pairs, Confidence, 0.5)',
	'threshold := Explore(pairs)',
	'threshold.Confidence()',
	'Play(streams, streams.Infos()[0].ID, 0, 10*Second)',
	'Waterfall(Filter(pairs, FDR.AtMost(0.1), Length(1, 5)))',
	'LagChart(pairs)',
	'Filter(pairs, threshold.Rule())',
];
await step('prepare a hostile stream', async () => {
	const log = JSON.parse(readFileSync(path.join(shipped, 'chat.json'), 'utf8'));
	log.comments.forEach((c, i) => {
		const text = i % 2 ? c.message.body + ' ' + evil[i % evil.length] : evil[i % evil.length];
		c.message.body = text;
		c.message.fragments = [{ emoticon: null, text }];
		c.commenter.display_name = evil[(i + 1) % (evil.length - 1)].slice(0, 100);
	});
	for (const where of ['hostile', 'hostile/' + evilName]) await lab.api('PUT', 'contents/' + where, { type: 'directory' });
	const put = (name, content, format) => lab.api('PUT', `contents/hostile/${evilName}/${name}`, { type: 'file', format, content });
	await put('chat.json', Buffer.from(JSON.stringify(log)).toString('base64'), 'base64');
	await put('audio.opus', readFileSync(path.join(shipped, 'audio.opus')).toString('base64'), 'base64');
	await put('script.vtt', readFileSync(path.join(shipped, 'script.vtt'), 'utf8'), 'text');
	await lab.put('displays.ipynb', sources);
	await lab.open('displays.ipynb');
});
await step('streams: table, and a live timeline', async () => {
	await run(0);
	await shows(0, /1 stream, 4m/);
	await sees(0, '.banter-chart svg');
	await inert();
});
await step('transcripts', async () => {
	await run(1);
	await shows(1, /words in 1 stream/);
	await sees(1, '.banter-chart svg');
});
await step('pairs: a table that sorts', async () => {
	await run(2);
	await shows(2, /pairs of 1 stream/);
	const table = output(2).locator('table').last();
	const column = async () => (await table.locator('tbody tr td:nth-child(6)').allInnerTexts()).map(Number);
	await table.locator('th', { hasText: 'confidence' }).click();
	const values = await column();
	check(values.length > 20, 'it has few rows');
	check(values.every((v, i) => i === 0 || values[i - 1] <= v), 'it is not sorted: ' + values.join(' '));
	await inert();
});
await step('histogram', async () => {
	await run(3);
	await sees(3, '.banter-chart svg');
});
const slider = () => output(4).locator('[role=slider]');
const level = async () => Number(await slider().getAttribute('aria-valuenow'));
const told = () => output(4).locator('[data-banter-told]');
let chosen;
await step('a threshold that is dragged', async () => {
	await run(4);
	await slider().waitFor({ timeout: 20_000 });
	await output(4).scrollIntoViewIfNeeded();
	await run(5);
	check(Math.abs(await value(5) - await level()) < 1e-9, 'Go and the page begin apart');
	const kept = () => output(4).locator('strong').nth(1).innerText();
	const before = await kept();
	const stage = output(4).locator('[data-banter-stage]');
	await stage.scrollIntoViewIfNeeded();
	const box = await stage.boundingBox();
	const at = share => box.x + box.width * (52 + share * 716) / 820;
	const height = box.y + box.height / 2;
	await page.mouse.move(at(await level()), height);
	await page.mouse.down();
	const began = Date.now();
	for (let i = 0; i <= 20; i++) await page.mouse.move(at(0.9 - i * 0.03), height);
	lab.note(`21 moves in ${Date.now() - began} ms`);
	await page.mouse.up();
	chosen = await level();
	check(Math.abs(chosen - 0.3) < 0.011, 'the line stands at ' + chosen);
	check(await kept() !== before, 'the count of pairs did not follow');
	await page.waitForFunction(([e, v]) => e.getAttribute('data-banter-told') === v, [await told().elementHandle(), String(chosen)], { timeout: 20_000 });
	await run(5);
	check(await value(5) === chosen, 'Go does not see ' + chosen);
	await inert();
});
await step('a threshold that is moved with keys', async () => {
	await slider().focus();
	for (const key of ['ArrowRight', 'ArrowRight', 'PageUp', 'ArrowLeft']) await page.keyboard.press(key);
	const now = await level();
	check(Math.abs(now - chosen - 0.055) < 1e-9, `the keys moved it from ${chosen} to ${now}`);
	await page.waitForFunction(([e, v]) => e.getAttribute('data-banter-told') === v, [await told().elementHandle(), String(now)], { timeout: 20_000 });
	await run(5);
	check(await value(5) === now, 'Go does not see ' + now);
	chosen = now;
});
await step('a span to listen to', async () => {
	await run(6);
	const audio = output(6).locator('audio');
	await audio.waitFor();
	const seconds = await audio.evaluate(a => new Promise((done, stop) => {
		const ready = () => done(a.duration);
		if (a.readyState >= 1) ready(); else { a.onloadedmetadata = ready; a.onerror = () => stop(new Error('it cannot be played')); }
	}));
	check(Math.abs(seconds - 10) < 0.01, `it lasts ${seconds} s`);
	await inert();
});
await step('waterfall and lag', async () => {
	await run(7);
	await sees(7, '.banter-chart svg');
	await run(8);
	await sees(8, '.banter-chart svg');
	await run(9);
	await shows(9, /which passed 1 rule/);
	await inert();
});
// wears waits until a cell's chart has the colors of a theme.
async function wears(i, theme) {
	await lab.theme(theme);
	await output(i).scrollIntoViewIfNeeded();
	await page.waitForFunction(([area, muted]) => [...area.querySelectorAll('.banter-chart svg text')].some(t => t.getAttribute('fill') === muted),
		[await output(i).elementHandle(), theme === 'Dark' ? '#9aa7b5' : '#5b6675'], { timeout: 20_000 });
	const stage = await output(i).locator('.banter-chart svg').first().boundingBox();
	check(stage.width > 500, `the chart is ${stage.width} wide`);
}
await step('dark theme', async () => {
	await wears(3, 'Dark');
	await slider().scrollIntoViewIfNeeded();
	await page.waitForTimeout(300);
});
await step('dark theme, charts', async () => {
	await wears(7, 'Dark');
});
await step('light theme again', async () => {
	await wears(7, 'Light');
	await wears(0, 'Light');
});
await step('saved and loaded anew, charts are live and the threshold goes on', async () => {
	await command('docmanager:save');
	await page.waitForTimeout(1_500);
	await lab.open('displays.ipynb');
	for (const i of [0, 3, 8]) {
		await output(i).scrollIntoViewIfNeeded();
		await sees(i, '.banter-chart svg');
	}
	await slider().scrollIntoViewIfNeeded();
	check(await level() === chosen, `the line stands at ${await level()}, not at ${chosen}`);
	await slider().focus();
	await page.keyboard.press('ArrowRight');
	const now = await level();
	await page.waitForFunction(([e, v]) => e.getAttribute('data-banter-told') === v, [await told().elementHandle(), String(now)], { timeout: 20_000 });
	await run(5);
	check(await value(5) === now, 'Go does not see ' + now);
});
await step('untrusted, pictures stand in', async () => {
	const saved = await lab.api('GET', 'contents/displays.ipynb');
	for (const c of saved.content.cells) delete c.metadata.trusted;
	// The server trusts what it signed; this it did not.
	saved.content.cells.push({ cell_type: 'markdown', id: 'from-elsewhere', metadata: {}, source: 'from elsewhere' });
	await lab.api('PUT', 'contents/untrusted.ipynb', { type: 'notebook', format: 'json', content: saved.content });
	await lab.open('untrusted.ipynb');
	for (const i of [0, 3, 4, 7, 8]) {
		await output(i).scrollIntoViewIfNeeded();
		const picture = output(i).locator('img').first();
		await picture.waitFor({ timeout: 20_000 });
		check(await picture.evaluate(p => p.decode().then(() => p.naturalWidth > 300)), `the picture of cell ${i} is not seen`);
		check(await output(i).locator('script, [role=slider]').count() === 0, `cell ${i} ran a script`);
	}
	await output(4).scrollIntoViewIfNeeded();
	await inert();
});
await step('the page\'s scripts have no faults', async () => check(lab.faults.length === 0, lab.faults.join('\n')));
await step('nothing was asked of other hosts', async () => check(lab.abroad.length === 0, lab.abroad.join('\n')));
process.exit(await lab.close() ? 1 : 0);

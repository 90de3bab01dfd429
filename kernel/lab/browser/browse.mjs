// Drives JupyterLab in a real browser as a user would, and fails where something is not as it should be.
//
//   node browse.mjs LAB-URL-WITH-TOKEN KERNEL-NAME SCREENSHOT-FOLDER [NOTEBOOK...]
//
// The notebooks, paths below the server's root, are run from the first cell to the last. PLAYWRIGHT names the folder of
// playwright-core, CHROMIUM the browser. run.sh starts all that this needs.
import { createRequire } from 'node:module';
import { mkdirSync } from 'node:fs';
import path from 'node:path';

const [labURL, kernel, shots, ...notebooks] = process.argv.slice(2);
const { chromium } = createRequire(import.meta.url)(process.env.PLAYWRIGHT);
const base = new URL(labURL);
const token = base.searchParams.get('token');
const root = base.origin + base.pathname.replace(/lab.*$/, '');
mkdirSync(shots, { recursive: true });

const browser = await chromium.launch({
	executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
	args: ['--no-sandbox', '--disable-gpu', '--force-color-profile=srgb'],
});
const context = await browser.newContext({ viewport: { width: 1280, height: 1000 } });
const page = await context.newPage();
const hostile = []; // what a cell's text managed to do to the page: nothing, it is hoped
await page.exposeFunction('banterHostile', what => hostile.push(what));
page.on('dialog', d => { hostile.push('dialog: ' + d.message()); d.dismiss(); });

let failed = 0, number = 0;
const shot = async name => page.screenshot({ path: path.join(shots, `${String(++number).padStart(2, '0')}-${name}.png`) });
async function step(name, body) {
	const began = Date.now();
	try {
		await body();
		console.log(`ok    ${name} (${Date.now() - began} ms)`);
	} catch (e) {
		failed++;
		console.log(`FAIL  ${name}: ${String(e.message ?? e).split('\n').slice(0, 6).join('\n      ')}`);
	}
	await shot(name.replace(/[^a-z0-9]+/gi, '-').toLowerCase().slice(0, 60));
}
function check(condition, what) {
	if (!condition) throw new Error(what);
}

// api asks the server.
async function api(method, where, body) {
	const r = await fetch(root + 'api/' + where, {
		method, body: body && JSON.stringify(body), headers: { Authorization: 'token ' + token, 'Content-Type': 'application/json' },
	});
	if (!r.ok) throw new Error(`${method} ${where}: ${r.status} ${await r.text()}`);
	return r.status === 204 ? null : r.json();
}

const cellJSON = (source, id) => ({ cell_type: 'code', id: 'cell-' + id, metadata: {}, source, outputs: [], execution_count: null });
async function open(name, sources) {
	if (sources) {
		await api('PUT', 'contents/' + name, {
			type: 'notebook', format: 'json',
			content: {
				nbformat: 4, nbformat_minor: 5, cells: sources.map(cellJSON),
				metadata: { kernelspec: { name: kernel, display_name: kernel, language: 'go' } },
			},
		});
	}
	await page.goto(`${root}lab/tree/${name}?token=${token}&reset`);
	await page.waitForSelector('.jp-Notebook .jp-CodeCell', { timeout: 90_000 });
	await idle();
}

// idle waits until the kernel of the open notebook has nothing to do.
const idle = (timeout = 60_000) => page.waitForFunction(() => {
	const panel = window.jupyterapp?.shell.currentWidget;
	return panel?.sessionContext?.session?.kernel?.status === 'idle';
}, null, { timeout, polling: 50 });
// command starts a command. It does not wait for its end: one that opens a dialog ends with the dialog.
const command = (name, args) => page.evaluate(([n, a]) => { window.jupyterapp.commands.execute(n, a); }, [name, args]);
const cell = i => page.locator('.jp-Notebook .jp-CodeCell').nth(i);
const editor = i => cell(i).locator('.cm-content');
const output = i => cell(i).locator('.jp-OutputArea');

async function run(i) {
	await editor(i).click();
	await page.keyboard.press('Control+Enter');
}
// shows waits until the text of a cell's output matches.
async function shows(i, pattern, timeout = 30_000) {
	const end = Date.now() + timeout;
	let text = '';
	do {
		text = await output(i).innerText().catch(() => '');
		if (pattern.test(text)) return text;
		await page.waitForTimeout(50);
	} while (Date.now() < end);
	throw new Error(`cell ${i} shows ${JSON.stringify(text.slice(0, 400))}, not ${pattern}`);
}
async function type(i, text) {
	await editor(i).click();
	await page.keyboard.press('Control+a');
	await page.keyboard.press('Delete');
	await page.keyboard.type(text, { delay: 20 });
}

const evil = '<script>banterHostile(1)</script><img src=x onerror=banterHostile(2)>"]</svg>\\u202eright to left';
const sources = [
	'import ("fmt"; "strings"; "time")\n\nfmt.Println("hello from Go")',
	'count := 0\nnext := func() int { count++; return count }\nnext()',
	'Display(HTML("<b id=shown>shown as HTML</b>"))',
	`type row struct { User, Text string }\n[]row{{"${evil.replaceAll('"', '\\"')}", strings.Repeat("x", 1000000)}}`,
	'',
	'',
	'for { time.Sleep(time.Millisecond) }',
	'next()',
	'for i := 0; i < 300000; i++ { fmt.Println("line", i) }',
	'time.Sleep(time.Hour)',
	'func deeper(n int) int { return deeper(n+1) + 1 }\ndeeper(0)',
	'import "os"\n\nself, _ := os.FindProcess(os.Getpid())\nself.Kill()',
	'21 * 2',
	'',
];

await step('open a notebook', async () => {
	await open('browser-test.ipynb', sources);
});
await step('run a cell and see its output', async () => {
	await run(0);
	await shows(0, /hello from Go/);
});
await step('value and variables across cells', async () => {
	await run(1);
	await shows(1, /^1\s*$/m);
	await run(7);
	await shows(7, /^2\s*$/m);
});
await step('HTML display', async () => {
	await run(2);
	await page.waitForSelector('#shown');
});
await step('hostile text is inert', async () => {
	await run(3);
	await shows(3, /right to left/);
	await page.waitForTimeout(500);
	check(hostile.length === 0, 'the text did ' + hostile.join(', '));
	check(await output(3).locator('script, img').count() === 0, 'the text became markup');
});
await step('complete with Tab', async () => {
	await type(4, 'fmt.Printl');
	await page.keyboard.press('Tab');
	const done = async () => (await editor(4).innerText()).includes('Println') ||
		(await page.locator('.jp-Completer-item').allInnerTexts()).some(t => t.includes('Println'));
	const end = Date.now() + 10_000;
	while (!await done()) {
		check(Date.now() < end, 'Println is not offered');
		await page.waitForTimeout(50);
	}
	await page.keyboard.press('Escape');
});
await step('inspect with Shift-Tab', async () => {
	await type(5, 'fmt.Println');
	await page.keyboard.press('Escape'); // an open list of completions
	await editor(5).click();
	await page.keyboard.press('End');
	await page.keyboard.press('Shift+Tab');
	const tooltip = page.locator('.jp-Tooltip');
	await tooltip.waitFor({ timeout: 10_000 });
	check(/func Println|Println\(/.test(await tooltip.innerText()), 'the tooltip says ' + await tooltip.innerText());
	await shot('tooltip');
	await page.keyboard.press('Escape');
});
await step('interrupt a loop and use an earlier closure', async () => {
	await run(6);
	await page.waitForTimeout(700);
	const began = Date.now();
	await command('notebook:interrupt-kernel');
	await shows(6, /interrupt/i, 5_000);
	console.log(`      interrupted after ${Date.now() - began} ms`);
	await idle();
	await run(7);
	await shows(7, /^3\s*$/m);
});
await step('a print loop does not drown the browser', async () => {
	await run(8);
	await shows(8, /line 299999/, 60_000);
	const began = Date.now();
	await page.evaluate(() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r))));
	console.log(`      next frame after ${Date.now() - began} ms`);
	await command('notebook:clear-all-cell-outputs');
});
await step('interrupt a cell that sleeps in compiled code', async () => {
	await run(9);
	await page.waitForTimeout(700);
	await command('notebook:interrupt-kernel');
	await shows(9, /interrupt/i, 5_000);
});
await step('restart the kernel', async () => {
	await command('kernelmenu:restart');
	await page.locator('.jp-Dialog .jp-mod-accept').click({ timeout: 10_000 });
	await page.waitForTimeout(500);
	await idle();
	await run(7);
	await shows(7, /undefined: next/);
	await run(0);
	await shows(0, /hello from Go/);
	await run(12);
	await shows(12, /42/);
});
await step('input', async () => {
	await type(13, 'name, _ := Input("who? ")\n"hello " + name');
	await page.keyboard.press('Escape');
	await run(13);
	const field = cell(13).locator('input.jp-Stdin-input');
	await field.waitFor({ timeout: 10_000 });
	await field.fill('Ada');
	await field.press('Enter');
	await shows(13, /hello Ada/);
});
await step('a kernel that dies is restarted, and says what happened', async () => {
	await run(11);
	await page.waitForTimeout(3_000);
	const dialog = page.locator('.jp-Dialog .jp-mod-accept');
	if (await dialog.count()) {
		await shot('fault-dialog');
		await dialog.first().click();
	}
	await idle();
	await run(12);
	const said = await shows(12, /42/);
	await idle();
	check(/died while it ran/.test(said) && /killed/.test(said), 'it says ' + said);
});
for (const name of notebooks) {
	await step('notebook ' + name, async () => {
		await open(name);
		await command('notebook:run-all-cells');
		await page.waitForTimeout(1_000);
		await idle(600_000);
		const errors = await page.locator('.jp-RenderedText[data-mime-type="application/vnd.jupyter.stderr"] .ansi-red-fg, .jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]').allInnerTexts();
		check(errors.length === 0, errors.join('\n'));
		check(hostile.length === 0, 'a text did ' + hostile.join(', '));
	});
}
await browser.close();
console.log(failed ? `${failed} steps failed` : 'all steps passed');
process.exit(failed ? 1 : 0);

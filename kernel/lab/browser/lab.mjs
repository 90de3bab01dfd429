// A JupyterLab in a real browser, and what a user does in it. Each of the scripts beside this one drives one.
import { createRequire } from 'node:module';
import { mkdirSync } from 'node:fs';
import path from 'node:path';

const { chromium } = createRequire(import.meta.url)(process.env.PLAYWRIGHT);

// start opens a browser. address is JupyterLab's, with its token; kernel the name of the kernel that notebooks are made
// for; shots the folder for screenshots, and prefix what their names begin with.
export async function start({ address, kernel, shots, prefix, height = 1000 }) {
	const base = new URL(address);
	const token = base.searchParams.get('token');
	const root = base.origin + base.pathname.replace(/lab.*$/, '');
	mkdirSync(shots, { recursive: true });
	const browser = await chromium.launch({
		executablePath: process.env.CHROMIUM,
		args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking',
			'--disable-component-update', '--disable-sync', '--force-color-profile=srgb'],
	});
	const context = await browser.newContext({ viewport: { width: 1280, height } });
	const page = await context.newPage();

	// What a text managed to do to the page: nothing, it is hoped.
	const hostile = [];
	await page.exposeFunction('banterHostile', what => hostile.push(what));
	page.on('dialog', d => {
		if (d.type() === 'beforeunload') return d.accept();
		hostile.push('dialog: ' + d.message());
		d.dismiss();
	});
	// What was asked of other hosts: nothing, for everything is offline.
	const abroad = [];
	page.on('request', r => { if (/^(http|ws)/.test(r.url()) && new URL(r.url()).host !== base.host) abroad.push(r.url()); });
	const faults = []; // of the page's own scripts
	page.on('pageerror', e => faults.push(String(e.message ?? e)));

	let failed = 0, number = 0;
	const lab = { page, hostile, abroad, faults, shots };
	lab.shot = name => page.screenshot({ path: path.join(shots, `${prefix}-${String(++number).padStart(2, '0')}-${name}.png`) });
	// step does one thing that a user would do, says how it went and keeps a picture.
	lab.step = async (name, body) => {
		const began = Date.now();
		try {
			await body();
			console.log(`ok    ${name} (${Date.now() - began} ms)`);
		} catch (e) {
			failed++;
			console.log(`FAIL  ${name}: ${String(e.message ?? e).split('\n').slice(0, 6).join('\n      ')}`);
		}
		await lab.shot(name.replace(/[^a-z0-9]+/gi, '-').toLowerCase().slice(0, 60));
	};
	lab.check = (condition, what) => { if (!condition) throw new Error(what); };
	lab.note = text => console.log('      ' + text);
	lab.close = async () => { await browser.close(); return failed; };

	// api asks the server.
	lab.api = async (method, where, body) => {
		const r = await fetch(root + 'api/' + where.split('/').map(encodeURIComponent).join('/'), {
			method, body: body && JSON.stringify(body), headers: { Authorization: 'token ' + token, 'Content-Type': 'application/json' },
		});
		if (!r.ok) throw new Error(`${method} ${where}: ${r.status} ${await r.text()}`);
		return r.status === 204 ? null : r.json();
	};
	lab.put = (name, sources) => lab.api('PUT', 'contents/' + name, {
		type: 'notebook', format: 'json',
		content: {
			nbformat: 4, nbformat_minor: 5, metadata: { kernelspec: { name: kernel, display_name: kernel, language: 'go' } },
			cells: sources.map((source, i) => ({ cell_type: 'code', id: 'cell-' + i, metadata: {}, source, outputs: [], execution_count: null })),
		},
	});
	lab.open = async name => {
		await page.goto(`${root}lab/tree/${name}?token=${token}&reset`);
		await page.waitForSelector('.jp-Notebook .jp-CodeCell', { timeout: 120_000 });
		await lab.idle();
	};

	// idle waits until the kernel of the open notebook has nothing to do.
	lab.idle = (timeout = 120_000) => page.waitForFunction(() =>
		window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle', null, { timeout, polling: 50 });
	// command starts a command. It does not wait for its end: one that opens a dialog ends with the dialog.
	lab.command = (name, args) => page.evaluate(([n, a]) => { window.jupyterapp.commands.execute(n, a); }, [name, args]);
	lab.cell = i => page.locator('.jp-Notebook .jp-CodeCell').nth(i);
	lab.editor = i => lab.cell(i).locator('.cm-content');
	lab.output = i => lab.cell(i).locator('.jp-OutputArea').first();
	lab.run = async i => {
		await lab.editor(i).click();
		await page.keyboard.press('Control+Enter');
	};
	// done runs a cell and waits for its end.
	lab.done = async i => {
		await lab.run(i);
		await page.waitForTimeout(250);
		await lab.idle();
	};
	// shows waits until the text of a cell's output matches, and returns it.
	lab.shows = async (i, pattern, timeout = 60_000) => {
		const end = Date.now() + timeout;
		let text = '';
		do {
			text = await lab.output(i).innerText().catch(() => '');
			if (pattern.test(text)) return text;
			await page.waitForTimeout(50);
		} while (Date.now() < end);
		throw new Error(`cell ${i} shows ${JSON.stringify(text.slice(0, 400))}, not ${pattern}`);
	};
	// sees brings the output of a cell into view and waits for something in it.
	lab.sees = async (i, selector, timeout = 60_000) => {
		const found = lab.output(i).locator(selector).first();
		await found.waitFor({ timeout });
		await found.scrollIntoViewIfNeeded();
		return found;
	};
	lab.type = async (i, text) => {
		await lab.editor(i).click();
		await page.keyboard.press('Control+a');
		await page.keyboard.press('Delete');
		await page.keyboard.type(text, { delay: 20 });
	};
	// inert checks that texts stayed texts.
	lab.inert = async () => {
		await page.waitForTimeout(400);
		lab.check(hostile.length === 0, 'a text did ' + hostile.join(', '));
		const marks = await page.locator('.jp-OutputArea-output [onerror], .jp-OutputArea-output [onload], .jp-OutputArea-output img[src=x], .jp-OutputArea-output iframe').count();
		lab.check(marks === 0, `${marks} elements were made of texts`);
	};
	// theme changes JupyterLab's theme, "Light" or "Dark".
	lab.theme = async name => {
		await lab.command('apputils:change-theme', { theme: 'JupyterLab ' + name });
		await page.waitForFunction(light => document.body.getAttribute('data-jp-theme-light') === light, String(name === 'Light'), { timeout: 30_000 });
	};
	return lab;
}

// Interrupts a transcription, and then runs the notebooks that it is given from the first cell to the last, in JupyterLab
// in a real browser: no cell may fail, and every chart must be seen and be live.
//
//	node notebooks.mjs LAB-URL-WITH-TOKEN KERNEL-NAME SCREENSHOT-FOLDER NOTEBOOK...
//
// The notebooks are paths below the server's root. BANTER_STORE names the kernel's store, and RECIPE the program that can
// check it. run.sh starts all that this needs.
import { execFileSync } from 'node:child_process';
import { start } from './lab.mjs';

const [address, kernel, shots, ...notebooks] = process.argv.slice(2);
const lab = await start({ address, kernel, shots, prefix: 'notebook', height: 1400 });
const { page, step, check, note, command, output, shows } = lab;

await step('interrupt a transcription', async () => {
	const name = 'notebooks/interrupt.ipynb';
	await lab.put(name, ['count := 0\nnext := func() int { count++; return count }\nnext()', 'words := Transcribe(Load("../testdata/streams"))\nwords', 'next()', '"here"']);
	await lab.open(name);
	await lab.run(0);
	await shows(0, /^1\s*$/m);
	await lab.run(1);
	await output(1).locator('progress').first().waitFor({ timeout: 120_000 });
	await page.waitForTimeout(1_000);
	const began = Date.now();
	await command('notebook:interrupt-kernel');
	await shows(1, /interrupted/, 10_000);
	note(`interrupted after ${Date.now() - began} ms`);
	await lab.run(3); // the step and its worker are gone: another cell runs at once
	await shows(3, /here/, 10_000);
	check(Date.now() - began < 10_000, 'the next cell had to wait');
	await lab.run(2);
	await shows(2, /^2\s*$/m);
});
await step('the store is whole after the interrupt', async () => {
	note(execFileSync(process.env.RECIPE, ['verify'], { encoding: 'utf8' }).trim().split('\n').at(-1));
});

// cells gives what of the open notebook's cells counts here.
const cells = () => page.evaluate(() => [...window.jupyterapp.shell.currentWidget.content.model.cells].map(c => {
	const json = c.toJSON();
	return {
		code: json.cell_type === 'code', ran: !!json.execution_count, source: [].concat(json.source).join(''),
		errors: (json.outputs ?? []).filter(o => o.output_type === 'error').map(o => `${o.ename}: ${o.evalue}`),
		charts: (json.outputs ?? []).some(o => /data-banter-(chart|explore)/.test([].concat(o.data?.['text/html'] ?? '').join(''))),
	};
}));
for (const name of notebooks) {
	await step('run all cells of ' + name, async () => {
		const saved = await lab.api('GET', 'contents/' + name);
		for (const c of saved.content.cells) if (c.cell_type === 'code') Object.assign(c, { outputs: [], execution_count: null });
		await lab.api('PUT', 'contents/' + name, { type: 'notebook', format: 'json', content: saved.content });
		await lab.open(name);
		await command('notebook:run-all-cells');
		for (const end = Date.now() + 900_000; ;) {
			const all = (await cells()).filter(c => c.code);
			const errors = all.flatMap(c => c.errors);
			check(errors.length === 0, errors.join('\n'));
			if (all.every(c => c.ran)) break;
			check(Date.now() < end, 'it does not end: ' + all.find(c => !c.ran).source);
			await page.waitForTimeout(250);
		}
		await lab.idle();
	});
	await step('look at all charts of ' + name, async () => {
		let at = -1, seen = 0;
		for (const c of await cells()) {
			at++;
			if (!c.charts) continue;
			// JupyterLab only renders what is near to the part that is seen.
			await page.evaluate(i => window.jupyterapp.shell.currentWidget.content.scrollToItem(i, 'start'), at);
			const one = page.locator(`.jp-Notebook .jp-Cell[data-windowed-list-index="${at}"]`);
			await one.locator('.banter-chart svg, [data-banter-stage]').first().waitFor({ timeout: 30_000 });
			await page.waitForTimeout(200);
			await lab.shot(`${name.replace(/.*\/|\.ipynb/g, '')}-${String(++seen).padStart(2, '0')}`);
		}
		check(seen > 0, 'it has no charts');
		await lab.inert();
	});
}
await step('nothing was asked of other hosts', async () => check(lab.abroad.length === 0, lab.abroad.join('\n')));
process.exit(await lab.close() ? 1 : 0);

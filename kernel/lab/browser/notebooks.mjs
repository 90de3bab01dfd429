// Interrupts a transcription, and then runs the notebooks that it is given from the first cell to the last, in JupyterLab
// in a real browser: no cell may fail, and every chart must be seen and be live. In the tour, a threshold is dragged and
// used; the notebook is saved and frozen, and the recipe must be what was chosen.
//
//	node notebooks.mjs LAB-URL-WITH-TOKEN KERNEL-NAME SCREENSHOT-FOLDER NOTEBOOK...
//
// The notebooks are paths below the server's root. BANTER_STORE names the kernel's store, and RECIPE the program that can
// check it, freeze and run. ROOT is the server's folder. run.sh starts all that this needs.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
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
// ended waits until all cells were run without an error.
const ended = async () => {
	for (const end = Date.now() + 900_000; ;) {
		const all = (await cells()).filter(c => c.code);
		const errors = all.flatMap(c => c.errors);
		check(errors.length === 0, errors.join('\n'));
		if (all.every(c => c.ran)) break;
		check(Date.now() < end, 'it does not end: ' + all.find(c => !c.ran).source);
		await page.waitForTimeout(250);
	}
	await lab.idle();
};
// runAt makes a cell the active one, starts a command there and waits for all cells.
const runAt = async (name, i) => {
	await page.evaluate(i => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = i; }, i);
	await command(name);
	await page.waitForTimeout(500); // until the first of them is asked for
	await lab.idle(900_000);
	const errors = (await cells()).flatMap(c => c.errors);
	check(errors.length === 0, errors.join('\n'));
};
for (const name of notebooks) {
	await step('run all cells of ' + name, async () => {
		const saved = await lab.api('GET', 'contents/' + name);
		for (const c of saved.content.cells) if (c.cell_type === 'code') Object.assign(c, { outputs: [], execution_count: null });
		await lab.api('PUT', 'contents/' + name, { type: 'notebook', format: 'json', content: saved.content });
		await lab.open(name);
		await command('notebook:run-all-cells');
		await ended();
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
const tour = notebooks.find(name => name.endsWith('01-tour.ipynb'));
if (tour) await step('drag the threshold of ' + tour + ', save, freeze', async () => {
	const { ROOT: root, RECIPE: recipe } = process.env;
	await lab.open(tour);
	// The filter of the tour goes by the picture from here on.
	const sources = await page.evaluate(() => [...window.jupyterapp.shell.currentWidget.content.model.cells].map(c => c.sharedModel.source));
	const explore = sources.findIndex(s => s.includes('Explore(')), filter = sources.findIndex(s => s.includes('FDR.AtMost(0.1)'));
	check(explore >= 0 && filter > explore, 'the tour has no threshold before its filter');
	await page.evaluate(i => {
		const cell = window.jupyterapp.shell.currentWidget.content.model.cells.get(i);
		cell.sharedModel.setSource(cell.sharedModel.source.replace('FDR.AtMost(0.1)', 'threshold.Rule()'));
	}, filter);
	await runAt('notebook:run-all-above', explore + 1);
	await page.evaluate(i => window.jupyterapp.shell.currentWidget.content.scrollToItem(i, 'start'), explore);
	const picture = page.locator(`.jp-Notebook .jp-Cell[data-windowed-list-index="${explore}"]`);
	const stage = picture.locator('[data-banter-stage]'), slider = picture.locator('[role=slider]');
	await stage.waitFor({ timeout: 30_000 });
	await stage.scrollIntoViewIfNeeded();
	const box = await stage.boundingBox();
	const at = share => box.x + box.width * (52 + share * 716) / 820, height = box.y + box.height / 2;
	await page.mouse.move(at(Number(await slider.getAttribute('aria-valuenow'))), height);
	await page.mouse.down();
	for (let i = 0; i <= 10; i++) await page.mouse.move(at(0.9 - i * 0.02), height);
	await page.mouse.up();
	const chosen = await slider.getAttribute('aria-valuenow');
	check(Math.abs(Number(chosen) - 0.7) < 0.011, 'the line stands at ' + chosen);
	await page.waitForFunction(([e, v]) => e.getAttribute('data-banter-told') === v, [await picture.locator('[data-banter-told]').elementHandle(), chosen], { timeout: 20_000 });
	await runAt('notebook:run-all-below', explore + 1);
	await command('docmanager:save');
	await page.waitForFunction(() => !window.jupyterapp.shell.currentWidget.context.model.dirty, null, { timeout: 30_000 });
	const call = (...args) => execFileSync(recipe, args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
	call('freeze', tour, '--root', root, '-o', 'frozen.go');
	const frozen = readFileSync(path.join(root, 'frozen.go'), 'utf8');
	check(frozen.includes(chosen), `the recipe does not hold ${chosen}:\n${frozen}`);
	const plan = call('run', 'frozen.go', '--dry-run');
	note(plan.trim().split('\n').at(-1));
	check(/^all \d+ steps are in the store/m.test(plan), 'the recipe has other steps than the notebook:\n' + plan);
});
await step('nothing was asked of other hosts', async () => check(lab.abroad.length === 0, lab.abroad.join('\n')));
process.exit(await lab.close() ? 1 : 0);

// Drives the kernel through JupyterLab as a user would, and fails where something is not as it should be: run, complete,
// inspect, interrupt, restart.
//
//	node browse.mjs LAB-URL-WITH-TOKEN KERNEL-NAME SCREENSHOT-FOLDER
//
// run.sh starts all that this needs.
import { start } from './lab.mjs';

const [address, kernel, shots] = process.argv.slice(2);
const lab = await start({ address, kernel, shots, prefix: 'kernel' });
const { page, step, shot, check, idle, command, cell, editor, output, run, shows, type } = lab;

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
	await lab.put('browser-test.ipynb', sources);
	await lab.open('browser-test.ipynb');
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
	check(await output(3).locator('script, img').count() === 0, 'the text became markup');
	await lab.inert();
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
process.exit(await lab.close() ? 1 : 0);

const pg = await import('libpg-query'); let t0 = performance.now(); await pg.loadModule?.()
const load = performance.now() - t0
t0 = performance.now(); pg.parseSync('select 1'); const first = performance.now() - t0
t0 = performance.now(); for (let i = 0; i < 2000; i++) pg.parseSync('select ' + i + ' from t where a = ' + i)
const warm = performance.now() - t0
t0 = performance.now(); for (let i = 0; i < 5000; i++) pg.parseSync('select ' + i + ' from t where a = ' + i)
console.log(process.execArgv.join(' '), 'load', load|0, 'first', first|0, 'first 2000', warm|0, 'us each after', ((performance.now() - t0) / 5).toFixed(1), 'cpu', process.cpuUsage().user/1e3|0, 'rss', process.memoryUsage.rss()/1e6|0)

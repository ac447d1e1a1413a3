// The official Sprites SDK for JavaScript, unchanged, against our own machine. Run by
// ../test_sprites_javascript.py with SPRITES_URL, SPRITES_TOKEN and BOX set.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SpritesClient } from '@fly/sprites';

const client = new SpritesClient(process.env.SPRITES_TOKEN, { baseURL: process.env.SPRITES_URL });
const name = process.env.BOX;
const sprite = client.sprite(name);

test('create, list, delete', async () => {
  await client.createSprite(`${name}-js`);
  assert.ok((await client.listAllSprites(name)).some((s) => s.name === `${name}-js`));
  assert.equal((await client.getSprite(`${name}-js`)).status, 'running');
  await client.deleteSprite(`${name}-js`);
});

test('exec, buffered', async () => {
  const { stdout, stderr } = await sprite.execFile('sh', ['-c', 'echo out; echo err >&2']);
  assert.equal(stdout, 'out\n');
  assert.equal(stderr, 'err\n');
  await assert.rejects(sprite.execFile('sh', ['-c', 'exit 4']), (e) => (e.exitCode ?? e.code) === 4);
});

test('exec over plain HTTP', async () => {
  const { stdout } = await sprite.execFileHTTP('echo', ['over', 'http']);
  assert.equal(stdout, 'over http\n');
});

test('exec, streaming both ways', async () => {
  const command = sprite.spawn('cat');
  let output = '';
  command.stdout.on('data', (data) => { output += data; });
  await new Promise((resolve) => command.on('spawn', resolve));
  command.stdin.write('one\n');
  command.stdin.end('two\n');
  assert.equal(await command.wait(), 0);
  assert.equal(output, 'one\ntwo\n');
});

test('a terminal, left and joined again', async () => {
  const first = sprite.createSession('sh', ['-c', 'echo begun; read line; echo got $line']);
  await new Promise((resolve) => first.stdout.once('data', resolve));
  const [session] = await sprite.listSessions();
  const again = sprite.attachSession(session.id);
  let output = '';
  again.stdout.on('data', (data) => { output += data; });
  await new Promise((resolve) => again.stdout.once('data', resolve));
  again.stdin.write('word\n');
  assert.equal(await again.wait(), 0);
  assert.match(output, /begun[^]*got word/);
});

test('files', async () => {
  const fs = sprite.filesystem('/home/box');
  await fs.mkdir('deep/er', { recursive: true });
  await fs.writeFile('deep/er/file.txt', 'content');
  assert.equal(await fs.readFile('deep/er/file.txt', 'utf8'), 'content');
  await fs.copyFile('deep/er/file.txt', 'copy.txt');
  await fs.rename('copy.txt', 'moved.txt');
  assert.equal((await fs.stat('moved.txt')).size, 7);
  assert.deepEqual(await fs.readdir('deep/er'), ['file.txt']);
  await fs.rm('moved.txt');
  await assert.rejects(fs.readFile('moved.txt', 'utf8'), (e) => e.code === 'ENOENT');
});

test('checkpoints and restore', async () => {
  await sprite.execFile('sh', ['-c', 'echo one > /home/box/f']);
  for await (const message of await sprite.createCheckpoint('first')) assert.notEqual(message.type, 'error');
  await sprite.execFile('sh', ['-c', 'echo two > /home/box/f']);
  const [checkpoint] = await sprite.listCheckpoints();
  assert.equal(checkpoint.comment, 'first');
  for await (const message of await sprite.restoreCheckpoint(checkpoint.id)) assert.notEqual(message.type, 'error');
  const { stdout } = await sprite.execFile('cat', ['/home/box/f']);
  assert.equal(stdout, 'one\n');
});

test('services', async () => {
  const serve = ['-m', 'http.server', '7070'];
  for await (const event of await sprite.createService('web', { cmd: 'python3', args: serve, httpPort: 7070 }, '1s')) {
    assert.notEqual(event.type, 'error');
  }
  assert.deepEqual((await sprite.listServices()).map((s) => s.name), ['web']);
  assert.equal((await sprite.getService('web')).httpPort, 7070);
  while ((await sprite.getService('web')).state.status !== 'running') { /* soon */ }
});

test('a port through the proxy', async () => {
  const session = await sprite.proxyPort(0, 7070);
  const port = session.server.address().port;
  const response = await fetch(`http://127.0.0.1:${port}/`);
  assert.equal(response.status, 200);
  session.close();
});

test('service logs, restart, signals, stop', async () => {
  const lines = [];
  for await (const event of await sprite.getServiceLogs('web', { lines: 100 })) lines.push(event.data ?? '');
  assert.ok(lines.some((line) => line.includes('GET /')), lines.join(''));
  for await (const event of await sprite.restartService('web', '1s')) assert.notEqual(event.type, 'error');
  await sprite.signalService('web', 'TERM');
  for await (const event of await sprite.stopService('web', '5s')) assert.notEqual(event.type, 'error');
  assert.equal((await sprite.getService('web')).state.status, 'stopped');
  await sprite.deleteService('web');
});

test('network policy', async () => {
  const rules = [{ include: 'defaults' }, { domain: '*', action: 'deny' }];
  await sprite.updateNetworkPolicy({ rules });
  assert.deepEqual((await sprite.getNetworkPolicy()).rules, rules);
  await sprite.updateNetworkPolicy({ rules: [] });
});

test('url settings', async () => {
  await sprite.updateURLSettings({ auth: 'public' });
  assert.equal((await client.getSprite(name)).urlSettings.auth, 'public');
  await sprite.update({ urlSettings: { auth: 'sprite', privateAccess: 'admins' } });
  const found = await client.getSprite(name);
  assert.equal(found.urlSettings.auth, 'sprite');
  assert.match(found.url, new RegExp(`^http://${name}\\.localhost:`));
});

test('memory policy', async () => {
  await sprite.updateResourcesPolicy({ memory: { limitMB: 512 } });
  assert.equal((await sprite.getResourcesPolicy()).memory.limitMB, 512);
  await sprite.deleteResourcesPolicy();
  assert.notEqual((await sprite.getResourcesPolicy()).memory.limitMB, 512);
});

#!/usr/bin/env node
// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0
//
// client.mjs SECONDS PROGRAM [ARG]...
//
// Runs a program under muontrap for at most SECONDS. Passes its output on, and
// exits with its status, or with 124 if the time was up.
import { spawn } from 'node:child_process'
import { once } from 'node:events'

// The bytes that acknowledge n bytes of output: 0 stands for 1, 255 for 256.
function acks(n) {
  const full = Buffer.alloc(Math.floor(n / 256), 255)
  return n % 256 ? Buffer.concat([full, Buffer.of((n % 256) - 1)]) : full
}

const [seconds, ...command] = process.argv.slice(2)
const muontrap = spawn('muontrap', ['--capture-output', '--', ...command], {
  stdio: ['pipe', 'pipe', 'inherit'],
})
const closed = once(muontrap, 'close')
muontrap.stdin.on('error', () => {}) // it has ended; its status tells why

let stopped = false
const timer = setTimeout(() => {
  stopped = true
  muontrap.stdin.end() // that stops the program
}, seconds * 1000)

for await (const data of muontrap.stdout) {
  if (!process.stdout.write(data)) await once(process.stdout, 'drain')
  if (!stopped) muontrap.stdin.write(acks(data.length))
}
const [status] = await closed
clearTimeout(timer)
process.exitCode = stopped ? 124 : (status ?? 1)

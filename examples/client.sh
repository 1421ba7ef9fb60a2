#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The muontrap authors
# SPDX-License-Identifier: Apache-2.0
#
# client.sh SECONDS PROGRAM [ARG]...
#
# Runs a program under muontrap for at most SECONDS. Passes its output on, and
# exits with its status, or with 124 if the time was up.
set -u
limit=$1
shift

# Two named pipes, opened here once muontrap has been started: so it does not
# inherit the other end of its own stdin, which then would never end.
dir=$(mktemp -d)
mkfifo "$dir/acks" "$dir/output"
muontrap --capture-output -- "$@" <"$dir/acks" >"$dir/output" &
exec {acks}>"$dir/acks" {output}<"$dir/output" {stdout}>&1
rm -r "$dir"
trap '' PIPE # a muontrap that has ended tells why by its status

# Acknowledges $1 bytes of output: byte 0 stands for 1, 255 for 256.
ack() {
  local n rest
  for ((n = $1; n >= 256; n -= 256)); do printf '\377'; done
  ((n > 0)) || return 0
  printf -v rest '\\x%x' $((n - 1))
  printf "$rest"
} >&"$acks"

# dd passes on what is there and says how much that was. While it waits it must
# not hold the pipe open that tells muontrap that this script lives.
while left=$((limit - SECONDS)) && ((left > 0)); do
  said=$(
    exec {acks}>&-
    LC_ALL=C timeout "$left" dd bs=64K count=1 2>&1 >&"$stdout" <&"$output"
  )
  n=${said##*$'\n'} # 4096 bytes (4.1 kB, 4.0 KiB) copied, ...
  n=${n%% *}
  ((n > 0)) || break
  ack "$n"
done

exec {acks}>&-  # that stops the program, if it still runs
cat <&"$output" # its last words
wait $!
status=$?
((left > 0 && SECONDS < limit)) || status=124
exit "$status"

#!/usr/bin/env perl
# SPDX-FileCopyrightText: 2026 The muontrap authors
# SPDX-License-Identifier: Apache-2.0
#
# client.pl SECONDS PROGRAM [ARG]...
#
# Runs a program under muontrap for at most SECONDS. Passes its output on, and
# exits with its status, or with 124 if the time was up.
use strict;
use warnings;
use IO::Handle;
use IPC::Open2;

# The bytes that acknowledge n bytes of output: 0 stands for 1, 255 for 256.
sub acks {
    my ($n) = @_;
    return chr(255) x int($n / 256) . ($n % 256 ? chr($n % 256 - 1) : '');
}

my ($seconds, @command) = @ARGV;
my $pid = open2(my $output, my $acks, 'muontrap', '--capture-output', '--', @command);

my $stopped = 0;
$SIG{PIPE} = 'IGNORE';    # a muontrap that has ended tells why by its status
$SIG{ALRM} = sub {
    $stopped = 1;
    close $acks;          # that stops the program
};
alarm $seconds;

STDOUT->autoflush;
while (1) {
    my $n = sysread $output, my $data, 65536;
    next if !defined $n && $!{EINTR};
    last if !$n;
    print $data;
    syswrite $acks, acks($n) if !$stopped;
}
waitpid $pid, 0;
exit($stopped ? 124 : $? & 127 ? 128 + ($? & 127) : $? >> 8);

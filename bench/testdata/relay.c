// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

// relay WINDOW PROGRAM ARG...: what muontrap's relay is measured against. The
// same pipe, poll(2), splice(2), acknowledgements, window, and nothing else.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
	static unsigned char acks[8192];
	int p[2], full = 0, ended = 0;
	if (argc < 3 || pipe(p) < 0)
		return 2;
	long window = atol(argv[1]), flight = 0;
	fcntl(p[0], F_SETFL, O_NONBLOCK);
	if (window > 64 << 10)
		fcntl(p[0], F_SETPIPE_SZ, window);
	if (fork() == 0) {
		dup2(p[1], 1);
		close(p[0]);
		close(p[1]);
		execv(argv[2], argv + 2);
		_exit(127);
	}
	close(p[1]);
	while (!ended || flight > 0) {
		struct pollfd fds[] = {
			{ .fd = 0, .events = POLLIN },
			{ .fd = ended || full || flight == window ? -1 : p[0], .events = POLLIN },
			{ .fd = full ? 1 : -1, .events = POLLOUT },
		};
		if (poll(fds, 3, -1) < 0)
			return 1;
		if (fds[0].revents) {
			ssize_t n = read(0, acks, sizeof acks);
			if (n <= 0)
				return 1;
			for (ssize_t i = 0; i < n; i++)
				flight -= acks[i] + 1;
		}
		if (fds[2].revents)
			full = 0;
		if (fds[1].revents) {
			ssize_t n = splice(p[0], NULL, 1, NULL, window - flight, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
			if (n > 0)
				flight += n;
			else if (n == 0)
				ended = 1;
			else if (errno == EAGAIN)
				full = 1;
			else
				return 1;
		}
	}
	return 0;
}

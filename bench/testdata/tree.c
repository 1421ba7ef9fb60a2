// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

// tree wide|deep N obey|ignore [bare]
//
// N cheap processes that wait for ever: one and its N-1 children, or a chain of
// parent and child. Each writes its pid to fd 2, and holds that open. They obey
// SIGTERM or ignore it.
//
// bare: one process more, above them. At the end of fd 0 it does the least that
// ends them all: kill(2) for each, and wait(2) until nobody is left.

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void announce(int fd) {
	pid_t pid = getpid();
	if (write(fd, &pid, sizeof pid) != sizeof pid)
		_exit(1);
}

// grow makes this process a member, and the first of n. A chain goes through
// exec, as chains of programs do: of memory that is forked again and again, the
// kernel keeps a record that grows with the square of the depth.
static void grow(char **argv, int deep, int n, int fd) {
	char rest[12], to[12];
	snprintf(rest, sizeof rest, "%d", n - 1);
	snprintf(to, sizeof to, "%d", fd);
	announce(fd);
	if (deep && n > 1 && vfork() == 0) {
		execl("/proc/self/exe", argv[0], argv[1], rest, argv[3], to, (char *)NULL);
		_exit(1);
	}
	for (; !deep && n > 1; n--) {
		pid_t pid = fork();
		if (pid < 0) {
			perror("tree: fork");
			_exit(1);
		}
		if (pid == 0) {
			announce(fd);
			break;
		}
	}
	for (;;)
		pause();
}

// bare is the least that starts and stops such a tree.
static int bare(char **argv, int deep, int n, int sig) {
	int p[2];
	char c;
	pid_t *pids = calloc(n, sizeof *pids);
	if (pids == NULL || pipe(p) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
		perror("tree");
		return 1;
	}
	if (fork() == 0)
		grow(argv, deep, n, p[1]);
	for (int i = 0; i < n; i++)
		if (read(p[0], &pids[i], sizeof *pids) != sizeof *pids)
			return 1;
	if (write(2, pids, n * sizeof *pids) < 0)
		return 1;
	while (read(0, &c, 1) > 0)
		;
	for (int i = 0; i < n; i++)
		kill(pids[i], sig);
	while (wait(NULL) > 0)
		;
	return 0;
}

int main(int argc, char **argv) {
	if (argc < 4)
		return 2;
	int deep = strcmp(argv[1], "deep") == 0, n = atoi(argv[2]);
	int ignore = strcmp(argv[3], "ignore") == 0;
	if (ignore)
		signal(SIGTERM, SIG_IGN);
	if (argc > 4 && strcmp(argv[4], "bare") == 0)
		return bare(argv, deep, n, ignore ? SIGKILL : SIGTERM);
	grow(argv, deep, n, argc > 4 ? atoi(argv[4]) : 2);
}

// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

// stream flood BYTES: writes so much to fd 1, as fast as it can.
// stream lines SIZE: writes a line of this size for each byte that it reads from fd 3.

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char block[64 << 10];

static int put(long n) {
	while (n > 0) {
		ssize_t w = write(1, block, n < (long)sizeof block ? n : (long)sizeof block);
		if (w <= 0)
			return 1;
		n -= w;
	}
	return 0;
}

int main(int argc, char **argv) {
	char c;
	int failed = 0;
	if (argc != 3)
		return 2;
	long n = atol(argv[2]);
	memset(block, 'x', sizeof block);
	if (strcmp(argv[1], "flood") == 0)
		return put(n);
	block[n - 1] = '\n';
	while (!failed && read(3, &c, 1) > 0)
		failed = put(n);
	return failed;
}

# SPDX-FileCopyrightText: 2026 The muontrap authors
# SPDX-License-Identifier: Apache-2.0

BIN := muontrap
export CGO_ENABLED := 0

.PHONY: build
build:
	go build -trimpath -buildvcs=false -ldflags '-s -w -buildid=' -o $(BIN) ./cmd/muontrap

# The cgroup tests on kernels and layouts that this machine does not have.
.PHONY: vm-test
vm-test:
	scripts/vm-test

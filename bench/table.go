// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// row is one measured thing.
type row struct {
	section string
	what    string
	n       int    // how many processes, or bytes of window; 0: does not apply
	unit    string // of p50 and p99
	p50     float64
	p99     float64
	against string  // what the ratios are to
	ratio   float64 // of the medians; NaN: there is nothing to compare with
	ratio99 float64
}

type table []row

// add enters samples, and compares them with those of a baseline, if any.
func (t *table) add(section, what string, n int, unit string, samples []float64, against string, baseline []float64) {
	*t = append(*t, row{
		section: section, what: what, n: n, unit: unit,
		p50: quantile(samples, 0.5), p99: quantile(samples, 0.99), against: against,
		ratio:   quantile(samples, 0.5) / quantile(baseline, 0.5),
		ratio99: quantile(samples, 0.99) / quantile(baseline, 0.99),
	})
}

// quantile is NaN for no samples.
func quantile(samples []float64, q float64) float64 {
	if len(samples) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(samples))
	return s[int(q*float64(len(s)-1)+0.5)]
}

var header = []string{"section", "what", "n", "unit", "p50", "p99", "p50/n", "against", "ratio", "ratio p99"}

func (r row) fields() []string {
	n, each := "", math.NaN()
	if r.n > 0 {
		n, each = strconv.Itoa(r.n), r.p50/float64(r.n)
	}
	if r.section == "relay" || r.section == "erlang" {
		each = math.NaN() // n is the window
	}
	return []string{r.section, r.what, n, r.unit, number(r.p50), number(r.p99), number(each),
		r.against, number(r.ratio), number(r.ratio99)}
}

func number(f float64) string {
	switch {
	case math.IsNaN(f):
		return ""
	case f >= 1000:
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strconv.FormatFloat(f, 'g', 3, 64)
}

// print shows the rows of one section.
func (t table) print(section string) {
	const format = "%-8s %-34s %7s %-7s %9s %9s %9s  %-15s %6s %9s\n"
	line := func(f []string) {
		args := make([]any, len(f))
		for i := range f {
			args[i] = f[i]
		}
		fmt.Printf(format, args...)
	}
	line(header)
	for _, r := range t {
		if r.section == section {
			line(r.fields())
		}
	}
	fmt.Println()
}

func (t table) writeCSV(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := csv.NewWriter(f)
	_ = w.Write(header)
	for _, r := range t {
		_ = w.Write(r.fields())
	}
	w.Flush()
	return w.Error()
}

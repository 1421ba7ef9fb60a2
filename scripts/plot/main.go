// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

// Command plot draws what the benchmark measured: the start as bars, and the stop
// against the size of the tree, on logarithmic scales.
//
//	plot <dist/bench.csv >docs/performance.svg
package main

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"strconv"
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("plot: ")
	start, stop, err := read(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	w := bufio.NewWriter(os.Stdout)
	draw(w, start, stop)
	if err := w.Flush(); err != nil {
		log.Fatal(err)
	}
}

// bar is the median of one way to start a program.
type bar struct {
	name string
	ms   float64
}

// line is the median of one way to stop trees, by their size.
type line struct {
	name   string
	points [][2]float64
}

// drawn are the rows of the section "stop" that make a line, and its colour.
var drawn = []struct{ what, label, colour string }{
	{"wide, obey: kill and wait", "kill and wait in C", "#888888"},
	{"wide, obey: muontrap", "tree", "#0060b0"},
	{"deep, obey: muontrap", "tree, a chain", "#7030a0"},
	{"wide, ignore: muontrap", "tree, SIGTERM ignored", "#c03020"},
	{"wide, obey: muontrap -g", "cgroup", "#208040"},
}

func read(r io.Reader) (start []bar, stop []line, err error) {
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, nil, err
	}
	stop = make([]line, len(drawn))
	for _, row := range rows[min(1, len(rows)):] {
		p50, err := strconv.ParseFloat(row[4], 64)
		if err != nil {
			continue // nothing was measured
		}
		switch row[0] {
		case "start":
			start = append(start, bar{row[1], p50})
		case "stop":
			for i, d := range drawn {
				n, err := strconv.ParseFloat(row[2], 64)
				if row[1] == d.what && err == nil {
					stop[i].name = d.label
					stop[i].points = append(stop[i].points, [2]float64{n, p50})
				}
			}
		}
	}
	if len(start) == 0 || len(stop[0].points) == 0 {
		return nil, nil, fmt.Errorf("no rows of the sections start and stop: run all of make bench first")
	}
	return start, stop, nil
}

// The picture is this wide, and has two panels: bars over lines.
const (
	width, left, right = 720, 230, 20
	barHeight          = 22
	plotHeight         = 300
)

func draw(w io.Writer, start []bar, stop []line) {
	top := 40
	below := top + len(start)*barHeight + 70
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="13">
<!-- SPDX-FileCopyrightText: 2026 The muontrap authors -->
<!-- SPDX-License-Identifier: Apache-2.0 -->
<rect width="100%%" height="100%%" fill="white"/>
`, width, below+plotHeight+50)
	title(w, top-15, "Start to end of a program that does nothing: milliseconds, median")
	drawBars(w, top, start)
	title(w, below-15, "End of the host until all processes are gone: milliseconds against their number")
	drawLines(w, below, stop)
	fmt.Fprintln(w, "</svg>")
}

func title(w io.Writer, y int, text string) {
	fmt.Fprintf(w, "<text x=\"10\" y=\"%d\" font-weight=\"bold\">%s</text>\n", y, text)
}

func drawBars(w io.Writer, top int, bars []bar) {
	longest := 0.0
	for _, b := range bars {
		longest = max(longest, b.ms)
	}
	for i, b := range bars {
		y, colour := top+i*barHeight, "#b0b0b0"
		if strings.HasPrefix(b.name, "muontrap") {
			colour = "#0060b0"
		}
		length := b.ms / longest * (width - left - right - 50)
		fmt.Fprintf(w, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", left-8, y+15, b.name)
		fmt.Fprintf(w, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", left, y+2, length, barHeight-5, colour)
		fmt.Fprintf(w, "<text x=\"%.1f\" y=\"%d\">%.3g</text>\n", left+length+5, y+15, b.ms)
	}
}

// drawLines goes from 10 to 10,000 processes and from 0.1 ms to 10 s.
func drawLines(w io.Writer, top int, lines []line) {
	const decadesX, decadesY = 3, 5
	const plotWidth = width - 60 - 200
	x := func(n float64) float64 { return 60 + (math.Log10(n)-1)/decadesX*plotWidth }
	y := func(ms float64) float64 { return float64(top) + plotHeight*(1-(math.Log10(ms)+1)/decadesY) }
	for d := range decadesX + 1 {
		n := math.Pow10(d + 1)
		fmt.Fprintf(w, "<path d=\"M%.1f %dV%d\" stroke=\"#dddddd\"/>\n", x(n), top, top+plotHeight)
		fmt.Fprintf(w, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n", x(n), top+plotHeight+18, n)
	}
	for d := range decadesY + 1 {
		ms := math.Pow10(d - 1)
		fmt.Fprintf(w, "<path d=\"M60 %.1fH%d\" stroke=\"#dddddd\"/>\n", y(ms), 60+plotWidth)
		fmt.Fprintf(w, "<text x=\"52\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n", y(ms)+4, ms)
	}
	for i, l := range lines {
		if len(l.points) == 0 {
			continue
		}
		var path strings.Builder
		for k, p := range l.points {
			fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(k, 1)], x(p[0]), y(p[1]))
		}
		fmt.Fprintf(w, "<path d=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>\n", &path, drawn[i].colour)
		key := top + 20 + i*22
		fmt.Fprintf(w, "<path d=\"M%d %dh24\" stroke=\"%s\" stroke-width=\"2\"/>\n", 60+plotWidth+12, key-4, drawn[i].colour)
		fmt.Fprintf(w, "<text x=\"%d\" y=\"%d\">%s</text>\n", 60+plotWidth+42, key, l.name)
	}
}

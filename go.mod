module github.com/muontrap/muontrap

go 1.26.8

// What the runtime would read and watch at start-up, and a program with one
// busy thread has no use for.
godebug (
	containermaxprocs=0
	decoratemappings=0
	updatemaxprocs=0
)

require golang.org/x/sys v0.49.0

// Command postrider carries mail both ways for people who read it from local
// Maildirs. See postrider(1) and `postrider help`.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	noCore()
	// The first signal ends the work in order, a second one at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], world{
		name: os.Args[0], stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, environ: os.Environ(),
	}))
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"postrider/auth"
	"postrider/configs"
	"postrider/daemon"
)

// fetch makes one pass with the real engine, opened anew each time as by a
// command that is started anew, and returns how many messages it delivered.
func (d *demo) fetch(ctx context.Context) (delivered int, err error) {
	config, err := configs.Load(d.path("config.yaml"))
	if err != nil {
		return 0, err
	}
	engine, err := daemon.Open(daemon.Options{
		Config:    config,
		Log:       slog.New(slog.NewTextHandler(d.out, &slog.HandlerOptions{Level: slog.LevelWarn})),
		StateHome: d.path("state"),
		Environ:   auth.Environ(os.Environ()),
		Hostname:  "demo",
	}, nil)
	if err != nil {
		return 0, err
	}
	var wrong []error
	engine.Fetch(ctx, func(r daemon.Report) {
		delivered += r.Result.Delivered
		if r.Err != nil {
			wrong = append(wrong, fmt.Errorf("account %s: %w", r.Account, r.Err))
		}
		for _, a := range r.Result.Aside {
			wrong = append(wrong, fmt.Errorf("account %s: message %s: %w", r.Account, a.UID, a.Err))
		}
	})
	return delivered, errors.Join(append(wrong, engine.Close())...)
}

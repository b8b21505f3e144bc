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
	"postrider/outbox"
)

// options are what both directions are opened with: the configuration as the
// command reads it, and nothing of the user's own.
func (d *demo) options() (daemon.Options, error) {
	config, err := configs.Load(d.path("config.yaml"))
	if err != nil {
		return daemon.Options{}, err
	}
	return daemon.Options{
		Config:    config,
		Log:       slog.New(slog.NewTextHandler(d.out, &slog.HandlerOptions{Level: slog.LevelWarn})),
		StateHome: d.path("state"),
		Environ:   auth.Environ(os.Environ()),
		Hostname:  "demo",
	}, nil
}

// fetch makes one pass with the real engine, opened anew each time as by a
// command that is started anew, and returns how many messages it delivered.
func (d *demo) fetch(ctx context.Context) (delivered int, err error) {
	options, err := d.options()
	if err != nil {
		return 0, err
	}
	engine, err := daemon.Open(options, nil)
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

// sendAll makes one pass over the outbox and the queue, and returns how many
// messages were sent and how many wait.
func (d *demo) sendAll(ctx context.Context) (sent, queued int, err error) {
	options, err := d.options()
	if err != nil {
		return 0, 0, err
	}
	s, err := daemon.OpenSending(options)
	if err != nil {
		return 0, 0, err
	}
	var wrong []error
	picked, err := s.Pass(ctx, false, func(r outbox.Report) {
		sent += r.Sent
		if r.Err != nil {
			wrong = append(wrong, fmt.Errorf("account %s: %w", r.Account, r.Err))
		}
	})
	if picked.Refused > 0 {
		wrong = append(wrong, fmt.Errorf("%s cannot be sent", count(picked.Refused, "file")))
	}
	items, listed := s.Outbox.List()
	return sent, len(items), errors.Join(append(wrong, err, listed, s.Close())...)
}

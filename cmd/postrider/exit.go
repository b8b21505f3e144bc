package main

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"syscall"

	"postrider/daemon"
	"postrider/fetch"
	"postrider/ledger"
	"postrider/outbox"
	"postrider/remote"
)

// Exit codes, those of sysexits(3) where there is one.
const (
	exitOK          = 0
	exitFailed      = 1 // for good
	exitUsage       = 64
	exitData        = 65 // a message that can never be sent as it is
	exitUnavailable = 69 // a server, or the daemon
	exitCantCreate  = 73
	exitIO          = 74
	exitTemporary   = 75 // trying again may help
	exitNoPerm      = 77 // login refused, or no permission
	exitConfig      = 78
)

// exitCode is the one place that decides it.
func exitCode(err error) int {
	var (
		usage       usageError
		unknown     *daemon.UnknownAccountError
		config      configError
		login       *remote.LoginError
		lost        *ledger.LostError
		damage      *ledger.DamageError
		local       *fetch.LocalError
		server      *remote.ServerError
		asides      asideError
		waiting     waitingError
		failed      failedError
		partly      partlyError
		cut         dialogueCutError
		unknownItem *outbox.UnknownItemError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage), errors.As(err, &unknown), errors.As(err, &unknownItem):
		return exitUsage
	case errors.As(err, &config), errors.Is(err, daemon.ErrNoOutbox):
		return exitConfig
	case isRefusal(err):
		return exitData
	case errors.As(err, &cut), errors.Is(err, ledger.ErrLocked), errors.Is(err, outbox.ErrLocked), errors.Is(err, context.Canceled):
		return exitTemporary
	case errors.As(err, &lost), errors.As(err, &damage):
		return exitIO
	case errors.As(err, &login):
		return exitNoPerm
	case errors.Is(err, fs.ErrPermission):
		return exitNoPerm
	case errors.As(err, &local), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EIO), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EDQUOT):
		return exitIO
	case unavailable(err):
		return exitUnavailable
	case errors.As(err, &failed), errors.As(err, &partly):
		return exitFailed
	case errors.As(err, &server), errors.As(err, &asides), errors.As(err, &waiting):
		return exitTemporary
	case isPath(err):
		return exitCantCreate
	}
	return exitFailed
}

// unavailable tells whether there is a server that did not answer, or refused
// for more than the moment.
func unavailable(err error) bool {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		return slices.ContainsFunc(all.Unwrap(), unavailable) // of several accounts
	}
	var server *remote.ServerError
	var reply interface{ Permanent() bool }
	return errors.As(err, &server) && (!errors.As(err, &reply) || reply.Permanent())
}

func isPath(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path)
}

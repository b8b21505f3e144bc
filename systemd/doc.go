// Package systemd is the daemon's side of the service manager: it tells of
// readiness, reloads and the end, and feeds the watchdog, as sd_notify(3) and
// sd_watchdog_enabled(3) describe. The units lie beside it.
//
// The order of a run: NewNotifier from the environment, Ready once the root is
// open, Watch in a goroutine of the caller for as long as the daemon runs,
// Reloading and Ready around every reload, Stopping at the first signal.
//
// Without a service manager all of it does nothing. An error only says that
// nobody was told: there is never a reason to stop the work for it.
package systemd

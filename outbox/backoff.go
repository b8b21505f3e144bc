package outbox

import (
	"math/rand/v2"
	"time"
)

// The delays between attempts: a minute, doubling to an hour.
const (
	firstDelay = time.Minute
	maxDelay   = time.Hour
)

// delay is how long to wait after so many attempts that came to nothing, spread
// by a tenth so that what was put off together does not come back together.
func delay(attempts int) time.Duration {
	d := maxDelay
	if attempts = max(attempts, 1); attempts <= 6 {
		d = min(firstDelay<<(attempts-1), maxDelay)
	}
	return d - d/20 + rand.N(d/10)
}

//go:build race

package ledger

// raceDetector makes everything ten times as slow, so that the longest tests
// take samples.
const raceDetector = true

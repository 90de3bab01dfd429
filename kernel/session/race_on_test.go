//go:build race

package session

// raceDetector says that the tests run under the race detector.
const raceDetector = true

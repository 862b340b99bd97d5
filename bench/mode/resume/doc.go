// Package resume measures streams that come back: the mode resume, in which all of them
// return with Last-Event-ID after a few missed messages (resume.go), and the mode
// recover, a storm of resumes of megabytes each, half of which are never read
// (recover.go).
package resume

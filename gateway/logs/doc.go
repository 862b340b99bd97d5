// Package logs carries lines of a log to where they go without ever holding up
// who writes them: a reader that hangs, a full disk or a file system that stands
// still costs lines, which are counted and told, but no connect and no shutdown.
//
// It owns the logger: level, format and what is left out of a flood; the queue of
// lines, and the file that they go to. It must not know what the lines say, nor
// the configuration.
package logs

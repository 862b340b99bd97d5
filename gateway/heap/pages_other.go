//go:build !linux

package heap

// DropPages does nothing here.
func DropPages() {}

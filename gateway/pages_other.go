//go:build !linux

package gateway

func dropStartPages() {}

//go:build !linux

package gateway

func dropPages() {}

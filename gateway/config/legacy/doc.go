// Package legacy knows the names of versions 5 and before, and those of the reference that Sluice lacks.
//
// A Rewriter turns settings of versions 4 and 5 into settings of version 6, which remember how they were written, and says what
// it did. Lacking tells options of the reference that Sluice does not have from names that nobody knows, and SuggestKey and its
// like say what was probably meant by those. All of it is names: no value becomes an option here, no file is opened, and the
// tables never change. A Rewriter belongs to one goroutine; all else may be called from any.
package legacy

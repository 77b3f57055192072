"""Tests of the noise laws; a package, so that its catalogue has a name of its own."""

"""One file per figure or table of a paper, run by `signscope reproduce NAME`."""

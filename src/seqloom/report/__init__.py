"""What a run says about itself: plots, one page of HTML, and runs side by side."""

"""Which of the rankings on an interleaved page do users prefer?"""

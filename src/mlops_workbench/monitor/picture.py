def report_html(r):
    return r.text()

// Sends the form that brings the answer back; the button does the same without this script.
document.getElementById("form-post").submit();
